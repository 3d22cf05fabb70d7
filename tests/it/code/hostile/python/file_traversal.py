# expect: CODE_FAILED
# Climbs out of the interpreter's library.
import json, os
result = open(os.path.dirname(json.__file__) + '/../../../../../../../../etc/passwd').read()
