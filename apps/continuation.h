#pragma once
// Prompts as text in, continuations as text out.

#include <functional>
#include <string>
#include <vector>

#include "pointwork/decode/generate.h"
#include "pointwork/text/tokenizer.h"

namespace pointwork::app {

struct ContinueOptions {
  GenerateOptions generate;
  std::vector<std::string> stop;  // strings that end a continuation
  bool bounds = false;            // prompts begin with what the tokenizer puts before a text
  std::function<void(size_t row, const std::string& text)>
      on_text;  // what became certain: no half character, no part of a stop
};

struct Continuation {
  std::string prompt, text;
  std::string finish_reason;        // length, end, stop, context
  std::vector<int32_t> all_tokens;  // of prompt and continuation
  Generation generation;
  bool past_trained_length = false;
};

// Error where a prompt is not UTF-8 or too long.
std::vector<Continuation> continue_prompts(Model& model, const Tokenizer& tokenizer,
                                           const std::vector<std::string>& prompts,
                                           const ContinueOptions& options);

}  // namespace pointwork::app
