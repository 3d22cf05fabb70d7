# expect: CODE_FAILED
# Runs a command by subprocess.
import subprocess
result = subprocess.check_output(['id']).decode()
