// The `pointwork` program: one verb a task. Parses, runs, and turns every error into one line and an exit status.

#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "apps/verb.h"
#include "pointwork/base/check.h"
#include "pointwork/base/nearest.h"

namespace {

using namespace pointwork;
using namespace pointwork::app;

struct Verb {
  const char* name;
  const char* summary;
  Run (*add)(CLI::App&, Common&);
};

constexpr Verb kVerbs[] = {
    // verbs, in the order in which a newcomer meets them
};

}  // namespace

int main(int argc, char** argv) {
  (void)argc;
  (void)argv;
  return 0;
}
