// expect: CODE_SYNTAX
// Imports as modules do.
import * as std from 'std';
result = std.loadFile(data.file);
