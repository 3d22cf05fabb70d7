# expect: CODE_FAILED
# Deletes a file of the host.
import os
os.remove(data['file'])
