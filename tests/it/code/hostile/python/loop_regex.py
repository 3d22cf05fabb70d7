# expect: CODE_CPU_EXCEEDED
# Stays inside one regex.
import re
result = bool(re.match(r'(a|aa)+$', 'a' * 60 + 'b'))
