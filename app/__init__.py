"""The screen: takes a clip, shows what the model makes of it."""
