// expect: CODE_FAILED
// Ends the process as in shells.
quit();
