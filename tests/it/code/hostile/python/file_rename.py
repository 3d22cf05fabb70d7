# expect: CODE_FAILED
# Moves a file of the host.
import os
os.rename(data['file'], data['file'] + '.gone')
