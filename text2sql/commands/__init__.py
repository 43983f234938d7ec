"""The commands of `text2sql`, a module each."""
