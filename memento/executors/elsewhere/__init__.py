"""What work on another machine needs, whichever engine takes it there: a sealed experiment, a folder on its disk."""
