// expect: CODE_CPU_EXCEEDED
// Stays inside one regex.
result = /^(a|aa)+$/.test('a'.repeat(60) + 'b');
