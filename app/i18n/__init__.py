"""The languages of the screen: catalogue, wording, translated messages."""
