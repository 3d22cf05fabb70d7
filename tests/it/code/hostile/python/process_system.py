# expect: SUCCESS
# Runs a command.
import os
result = [] if os.system('id') != 0 else ['ran']
