# expect: CODE_FAILED
# Goes to another directory.
import os
os.chdir(data['directory'])
result = open('canary').read()
