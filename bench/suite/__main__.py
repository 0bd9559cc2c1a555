"""Print the JSON Schema of a suite: python -m bench.suite > suites/suite.schema.json."""

import json

from bench.suite.schema import schema

print(json.dumps(schema(), indent=2))
