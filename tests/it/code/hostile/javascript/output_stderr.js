// expect: SUCCESS
// Fills the other stream.
for (let i = 0; i < 5000; i += 1) console.error('x'.repeat(1000));
result = [];
