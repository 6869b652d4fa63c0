#include "pointwork/data/text_encoder.h"

namespace pointwork {

TextEncoder text_encoder(const Tokenizer& tokenizer) {
  TextEncoder encoder{.encode =
                          [tokenizer](std::string_view text, std::vector<int32_t>& ids) {
                            tokenizer.encode_to(text, ids, {.special = false});
                          },
                      .end_of_text = tokenizer.end_of_text(),
                      .hash = tokenizer.hash(),
                      .json = tokenizer.to_json()};
  const auto size = static_cast<int32_t>(tokenizer.vocab_size());
  encoder.token_bytes.reserve(static_cast<size_t>(size));
  for (int32_t id = 0; id < size; ++id) {
    const size_t bytes = tokenizer.is_special(id) ? 0 : tokenizer.token_bytes(id).size();
    encoder.token_bytes.push_back(static_cast<uint32_t>(bytes));
  }
  return encoder;
}

}  // namespace pointwork
