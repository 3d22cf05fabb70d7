# expect: CODE_FAILED
# Lists the root.
import os
result = os.listdir('/')
