# expect: SUCCESS
# Looks for secrets in its environment.
import os
result = [name for name in os.environ if name not in ('LC_CTYPE', 'LC_ALL', 'LANG')]
