//! Starting servers and talking to them, for the suites beside it.
