# expect: CODE_FAILED
# Changes rights of a file.
import os
os.chmod(data['file'], 0o777)
