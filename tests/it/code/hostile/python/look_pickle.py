# expect: CODE_FAILED
# Runs a command while it reads data.
import pickle
result = pickle.loads(b"cos\nsystem\n(S'id'\ntR.")
if result != 0:
    raise PermissionError('no command was run')
