"""Parts of the documentation that are made from the code when the site is built. `scripts/site_hook.py` calls them."""
