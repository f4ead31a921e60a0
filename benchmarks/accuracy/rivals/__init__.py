"""Published methods of others, written anew from their papers; each file names its paper."""
