#pragma once
// config.json of Hugging Face's transformers ⇄ Config.

#include <optional>
#include <string>

#include "pointwork/checkpoint/json_keys.h"
#include "pointwork/config/config.h"

namespace pointwork {

// What a model of one of the known classes is, said in the grammar. A key that changes what is
// computed and that the grammar cannot say is refused by name, as is one that is not known unless
// it is null or false; `where` begins every error. Training keys are our defaults.
Config config_of(const OrderedJson& json, const std::string& where);

// The keys that say what `config` computes, as `model_type`; nothing where that class computes
// something else.
std::optional<OrderedJson> hugging_face_config(const std::string& model_type, const Config& config);

// The same for the first class that can say it.
std::optional<OrderedJson> hugging_face_config(const Config& config);

// Keys of `json` (of a class) that say something else of the model than `fresh` does replaced by
// it, every other kept as it is.
OrderedJson merged_config(const OrderedJson& json, const OrderedJson& fresh);

}  // namespace pointwork
