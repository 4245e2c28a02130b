"""What is said by somebody who gives advice that a licence is needed for, or who promises something. English.

Statements to the caller are meant, not the topics: "I can't give legal advice" and "Do you take any medication?" are
none.
"""

from __future__ import annotations

from typing import Final

__all__ = ["FINANCIAL", "GUARANTEE", "LEGAL", "MEDICAL"]

_YOU_SHOULD: Final = (
    "you('d better| (really |definitely |probably |certainly )?(should|must|need to|ought to|have to|had better)) "
    "(not |just |also |probably |definitely |immediately |now )?"
)
_I_ADVISE: Final = "(i|we)('d| (would|strongly|really|can|do))? (strongly |highly )?(recommend|suggest|advise) ~5 "
_DRUG: Final = (
    "(medications?|medicines?|dos(e|age)s?|pills?|tablets?|antibiotics?|painkillers?|ibuprofen|aspirin|paracetamol|"
    r"acetaminophen|tylenol|insulin|steroids?|antidepressants?|blood thinners?|prescriptions?)\b"
)
_ILLNESS: Final = (
    "(cancer|diabetes|an? (infection|tumou?r|heart attack|stroke|concussion|fracture|ulcer|migraine|allergy)|pneumonia|"
    r"bronchitis|covid|the flu|arthritis|depression|asthma|hypertension|appendicitis|sepsis)\b"
)
_PAPERS: Final = (
    "(investments?|stocks?|shares?|bonds?|crypto(currency)?|bitcoin|index funds?|etfs?|mutual funds?|funds?|annuity|"
    r"options|gold)\b"
)

MEDICAL: Final = (
    f"{_YOU_SHOULD}((stop|keep|start) taking|take|increase|decrease|double|reduce|skip|change|switch|avoid|mix) ~4 "
    f"{_DRUG}",
    f"((stop|keep) taking|take|double|increase|reduce|skip) ~3 (your|this|the|two|one|three|\\d+) ~2 {_DRUG}",
    r"(\d+|one|two|three|four|five|ten|fifty|hundred|thousand)[^\w]{0,3}(mg|milligrams?|ml|millilit(er|re)s?) "
    r"(of|every|once|twice|three|daily|a day|per)\b",
    f"{_I_ADVISE}{_DRUG}",
    "you('ve| (probably|likely|may|might|could|definitely|certainly|clearly))? (have|got|(are )?having|"
    f"are suffering from) (probably |got )?{_ILLNESS}",
    "(it|that|this) (is|sounds like|looks like|must be|could be|may be|might be) (probably |likely |just )?" + _ILLNESS,
    "your (symptoms?|test results?|rash|pain|condition) ~3 (means?|indicates?|suggests?|points? to|is nothing serious|"
    r"(is|are) (not )?(serious|harmless|dangerous))\b",
    r"(no need|you don'?t need|you do not need) to (see|call|consult|visit) (a|your|the) (doctor|physician)\b",
)

LEGAL: Final = (
    f"{_YOU_SHOULD}(sue|press charges|plead|file (a|for) (lawsuit|suit|claim|bankruptcy|motion|appeal)|"
    "take (them|him|her|it) to court|refuse to (sign|pay|testify)|break (the|your) (lease|contract)|"
    r"sign (the|that|this) (contract|agreement|settlement|waiver))\b",
    f"{_I_ADVISE}(suing|lawsuit|legal action|pressing charges|pleading|settl(e|ing)|filing (a|for)|that you sue)\\b",
    r"you('ve got|'ve| have| have got) (a|an) (very )?(strong|good|solid|weak|clear|winnable) (legal )?case\b",
    "you('re| are| aren'?t| are not)( (not|legally|definitely|clearly|probably)){0,3} "
    r"(liable|guilty|at fault|entitled to (damages|compensation)|within your rights)\b",
    "you (would|will|could|can|should)( (definitely|probably|certainly|easily))? (win|lose) (the|your|this|that|in) "
    r"(case|court|lawsuit|claim|appeal)\b",
    "(that|this|it|what (they|he|she) did)('s| is| was) (clearly |definitely |perfectly |completely |not )?"
    r"(illegal|unlawful|legal|lawful|against the law|a breach of contract)\b",
    r"(as|speaking as) your (lawyer|attorney|solicitor|legal (adviser|advisor))\b",
)

FINANCIAL: Final = (
    f"{_YOU_SHOULD}(buy|sell|short|hold|hold on to|keep) ~4 {_PAPERS}",
    f"{_YOU_SHOULD}(invest|refinance|remortgage|cash out|take out (a|the) (loan|mortgage)|consolidate your debts?|"
    r"(put|move|withdraw) ~3 (money|savings|pension))\b",
    f"{_I_ADVISE}((buying|selling|shorting|holding) ~4 {_PAPERS}|investing\\b|{_PAPERS})",
    "(stocks?|shares?|bitcoin|crypto|markets?|gold|house prices|interest rates) (will|(is|are) (going|sure) to) ~2 "
    r"(go up|go down|rise|rally|crash|fall|double|triple|recover|soar)\b",
    "(is|are|would be|that's|it's) (a|an|the) (very |really )?(good|great|safe|best|smart|excellent|solid|bad) "
    r"(investment|stock|fund|time to (buy|sell|invest))\b",
    "you('ll| will| are going to) (definitely |certainly |easily )?(double|triple|make|earn) "
    r"(your money|a (profit|fortune|return)|\w+ percent)\b",
    "(claim|deduct|write off|hide|avoid paying) ~4 (on your (taxes|tax return)|from the (irs|tax office|taxman)|"
    r"as a (tax )?deduction)\b",
)

GUARANTEE: Final = (
    "(i|we)('ll| can| will| do| would)? (absolutely |fully |personally |totally |hereby |certainly |definitely )?"
    r"(guarantee|promise|swear|warrant)\b",
    "(you have|that's|it's|this is|here is|with) (my|our|a) "
    r"(word|(full |personal |money[- ]back |\w+ )?guarantee|promise)\b",
    "guaranteed (to|by|you|results?|returns?|approval|approved|success|refund|delivery|win|income|profit|cure)\\b",
    r"(is|are|it's|that's|you're|they're) (fully |absolutely |100 percent )?guaranteed\b",
    r"(100|a hundred|one hundred)[^\w]{0,3}(%|percent|per cent) "
    r"(sure|certain|safe|guaranteed|risk[- ]free|effective|secure|reliable|success)",
    r"(risk|worry)[- ]free\b|no risk (at all|whatsoever|involved|to you)\b|zero risk\b",
    "you('ll| will| are going to) (definitely|certainly|absolutely|for sure|surely) "
    r"(be (approved|accepted|refunded|covered|reimbursed|fine|cured|hired)|get|win|receive|qualify|recover)\b",
    r"(cannot|can'?t|could never|never) (possibly )?(fail|go wrong|lose)\b",
)
