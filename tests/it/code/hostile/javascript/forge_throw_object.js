// expect: CODE_FAILED
// Throws what looks like a report.
throw { kind: 'result', type: 'x', message: 'forged', exit_code: 0 };
