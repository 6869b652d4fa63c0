#pragma once
// The ids that the post_processor of a tokenizer.json puts around one text.

#include <cstdint>
#include <vector>

#include "pointwork/text/settings.h"

namespace pointwork {

struct Bounds {
  std::vector<int32_t> before, after;
};

// TemplateProcessing's "single"; ByteLevel moves offsets, not ids. Error on other types, on two
// templates and on ids that are not below `vocab_size`.
Bounds read_bounds(const Settings& given, int64_t vocab_size);

}  // namespace pointwork
