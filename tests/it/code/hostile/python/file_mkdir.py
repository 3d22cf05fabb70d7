# expect: CODE_FAILED
# Makes a directory.
import os
os.mkdir(data['directory'] + '/new')
