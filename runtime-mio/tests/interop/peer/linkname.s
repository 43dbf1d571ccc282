// It lets Go take function declarations without bodies: see go:linkname.
