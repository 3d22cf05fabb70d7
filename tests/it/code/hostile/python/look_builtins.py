# expect: CODE_FAILED
# Finds open in the builtins and uses it.
result = __builtins__.__dict__['open'](data['file']).read() if hasattr(__builtins__, '__dict__') else __builtins__['open'](data['file']).read()
