// expect: SUCCESS
// Replaces how results are written, which changes nothing.
JSON.stringify = () => '["forged"]';
JSON.parse = () => 'forged';
result = [];
