# expect: CODE_FAILED
# Follows the code that runs it.
import sys
sys.settrace(lambda frame, *_: frame.f_globals['os'].system('id') or (_ for _ in ()).throw(PermissionError('no')))
print(1)
import json
json.loads('1')
