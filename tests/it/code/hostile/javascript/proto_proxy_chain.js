// expect: CODE_FAILED
// Makes a chain of proxies without end.
let chain = {};
for (let i = 0; i < 100000; i += 1) chain = new Proxy(chain, {});
result = chain.x;
