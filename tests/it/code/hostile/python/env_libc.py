# expect: SUCCESS
# Looks for the environment in a new interpreter's eyes.
import os
result = [name.decode() for name in os.environb if not name.startswith(b'LC_')]
