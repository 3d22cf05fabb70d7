// expect: TIMEOUT
// Waits for a day.
setTimeout(() => { result = 1; }, 86400000);
