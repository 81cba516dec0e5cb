"""The fence agents' catalogue and the page on fence devices, made from what the agents and the profiles say."""
