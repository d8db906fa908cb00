"""Commands that run on servers, over ssh."""
