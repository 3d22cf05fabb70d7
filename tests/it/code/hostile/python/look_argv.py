# expect: SUCCESS
# Searches its arguments.
import sys
result = [text for text in sys.argv + sys.orig_argv if 'postgres' in text]
