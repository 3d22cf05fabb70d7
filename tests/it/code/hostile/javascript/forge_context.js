// expect: SUCCESS
// Claims other results than there are, for itself only.
context.results = { other: { output: 'forged' } };
result = [];
