# expect: CODE_FAILED
# Lists a directory of the host.
import os
result = os.listdir(data['directory'])
