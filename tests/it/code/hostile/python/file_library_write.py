# expect: CODE_FAILED
# Changes the interpreter's library.
import json
open(json.__file__, 'a').write('gone')
