# expect: CODE_FAILED
# Removes a tree.
import shutil
shutil.rmtree(data['directory'])
