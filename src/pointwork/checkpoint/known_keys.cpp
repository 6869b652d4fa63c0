#include "pointwork/checkpoint/known_keys.h"

#include <set>

namespace pointwork {

bool is_harmless(const std::string& key) {
  static const std::set<std::string> keys = {
      // The file and the library.
      "architectures", "model_type", "torch_dtype", "dtype", "transformers_version", "pointwork",
      "transformers.js_config", "name_or_path", "unsloth_version", "unsloth_fixed",
      "is_llama_config", "tokenizer_class", "use_cache", "return_dict", "output_attentions",
      "output_hidden_states", "torchscript", "gradient_checkpointing", "pretraining_tp", "n_ctx",
      "max_window_layers", "layer_types", "cache_implementation",
      // Tokens.
      "bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "sep_token_id",
      "cls_token_id", "mask_token_id", "decoder_start_token_id", "forced_bos_token_id",
      "forced_eos_token_id",
      // Training.
      "attention_dropout", "attn_pdrop", "embd_pdrop", "resid_pdrop", "hidden_dropout",
      "classifier_dropout", "initializer_range", "output_router_logits", "router_aux_loss_coef",
      "router_jitter_noise", "problem_type", "keys_to_ignore_at_inference",
      // Heads of other tasks.
      "summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels",
      "summary_first_dropout", "num_labels", "id2label", "label2id", "finetuning_task",
      "task_specific_params",
      // How text is generated.
      "max_length", "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups",
      "diversity_penalty", "temperature", "top_k", "top_p", "typical_p", "repetition_penalty",
      "length_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids",
      "num_return_sequences", "output_scores", "return_dict_in_generate", "remove_invalid_values",
      "exponential_decay_length_penalty", "suppress_tokens", "begin_suppress_tokens", "prefix"};
  return keys.count(key) > 0 || key.starts_with('_');
}

}  // namespace pointwork
