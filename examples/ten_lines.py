"""A miner's model in ten lines: today's weather, which fades to what is usual."""

from datetime import timedelta


class Fading:
    def forecast(self, analysis, climatology, spec, init_time):
        for field in spec.fields():
            today = analysis.read(field)
            for lead_h in spec.lead_h:
                usual = climatology(init_time + timedelta(hours=lead_h)).read(field)
                yield field, lead_h, usual + 0.97 ** (lead_h / 12) * (today - usual)


def make():
    return Fading()
