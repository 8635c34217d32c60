"""Tasks: what the validator asks miners to do. The validator and the command line import this package."""
