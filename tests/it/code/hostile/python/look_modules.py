# expect: SUCCESS
# Searches the loaded modules for settings.
import sys
result = [name for name in sys.modules if name.startswith('synapps')]
