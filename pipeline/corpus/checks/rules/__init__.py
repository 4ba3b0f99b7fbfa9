"""The rules of the data doctor; a file holds those of one subject. `registry` finds them."""
