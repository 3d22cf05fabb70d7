# expect: CODE_FAILED
# Empties a file.
import os
os.truncate(data['file'], 0)
