//! The codes of diagnostics and their pages.

use serde::{Serialize, Serializer};

macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal, $page:literal;)*) => {
        /// What kind of complaint a diagnostic is; `dripline explain CODE` shows its page.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $title] $name,)*
        }

        impl Code {
            /// All codes, in their order.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code as it is printed: `E0305`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What is wrong, in one sentence.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// The code's page: what is wrong, and mostly an example of what is right.
            pub fn explanation(self) -> &'static str {
                match self { $(Self::$name => concat!($title, "\n", $page).trim_ascii_end(),)* }
            }
        }
    };
}

codes! {
    TooLarge = "E0101", "The file is larger than 1 MiB.", r"
A workflow of a thousand steps is far smaller. Split the file, or look whether something else was saved under its name.
";
    Syntax = "E0102", "The file is not YAML.", r#"
The place is where the parser gave up; the mistake is there or just before it. Frequent ones: a text with `: ` or ` #` in it without quotes, a quotation mark or bracket that is not closed, lines that are not indented alike.

    subject: Hello: world        # wrong
    subject: "Hello: world"      # right
"#;
    Tab = "E0103", "A line is indented with a tab.", r"
YAML allows only spaces there. Use two spaces for each level; most editors can insert them for the Tab key in YAML files.
";
    Empty = "E0104", "The file is empty, or holds only comments.", r"
A smallest workflow:

    name: hello
    on: manual
    steps:
      - wait: 1d
";
    NotMapping = "E0105", "The file's top is not a mapping.", r"
A workflow is a mapping with `name`, `on` and `steps`:

    name: hello
    on: {event: trial.started}
    steps:
      - email: {template: trial/welcome, subject: Welcome}
";
    Documents = "E0106", "The file holds several YAML documents, separated by `---`.", r"
Write one workflow in each file.
";
    DuplicateKey = "E0107", "A mapping has the same key twice.", r"
YAML forbids it, because one of the two values would be lost. Two steps of a kind are two items of a list:

    steps:
      - wait: 1d
      - wait: 2d
";
    Depth = "E0108", "Lists and mappings are nested more than 64 levels deep.", r"
That is some twenty branches inside one another. Split the workflow in two, or leave a branch with `goto`.
";
    Nodes = "E0109", "The file holds more than 100,000 values, or aliases blow it up beyond that.", r"
An alias (`*name`) repeats what its anchor (`&name`) marked; aliases of aliases multiply. Use fewer.
";
    Alias = "E0110", "An alias stands inside the very value that it repeats, so that it would never end.", "";
    Tag = "E0111", "A YAML tag (`!name`) was used.", r"
Tags have no meaning in Dripline's files. A text that begins with `!`, such as an expression, has to stand in quotes:

    if: '!contact.consent.email'
";
    Key = "E0112", "A key is not text, or longer than 1,024 characters.", "";
    UnknownKey = "E0201", "A mapping has a key that means nothing there.", r"
Mostly a spelling mistake; the help names the key that is most like it, or those that there are.
";
    MissingKey = "E0202", "Something that must be there is missing.", r"
Every workflow needs `name`, `on` and `steps`.
";
    Name = "E0203", "The workflow's name is not made of small letters, digits and `-`.", r"
The name is the workflow's identity: what was published under it before is an earlier version of the same workflow.

    name: trial-nurture
";
    WrongType = "E0204", "A value is of another type than what is needed here.", r#"
Text that looks like something else has to stand in quotes: `"2024"`, `"true"`, `"null"`.
"#;
    Trigger = "E0205", "What starts the workflow cannot be read.", r#"
    on: {event: trial.started}
    on: {segment_joined: hot-leads}
    on: {schedule: "30 9 * * 1-5", time_zone: Europe/Berlin}
    on: manual
    on: [{event: a}, {event: b}]
"#;
    Again = "E0206", "`again` says whether a contact may enter once more:", r"
    enroll: {again: never}          # what holds without it
    enroll: {again: always}
    enroll: {again: {after: 90d}}
";
    Duration = "E0207", "A duration cannot be read.", r"
Write a number with a unit: `30m`, `4h`, `3d`, `2w`, `1h 30m`, `2 weeks`.
";
    Schedule = "E0208", "A schedule cannot be read, or its time never comes.", r#"
Five fields: minute (0-59), hour (0-23), day of the month (1-31), month (1-12 or jan-dec), day of the week (0-7 or sun-sat; 1 is Monday, 0 and 7 are Sunday). Each is `*`, a value, a range `1-5`, a list `1,3,5` or steps `*/15`.

    on: {schedule: "30 9 * * 1-5"}     # 9:30 on workdays
"#;
    TimeZone = "E0209", "A time zone is not known.", r"
Write a name of the IANA time zone database: `Europe/Berlin`, `America/New_York`, `UTC`.
";
    Share = "E0210", "A workflow's share is not a whole number from 1 to 100.", r"
While several workflows have something to do, each gets a part of the engine's time in proportion to its share. Without one the share is 10.

    settings: {share: 20}        # twice as much as others
";
    Changed = "E0220", "`changed` does not name an attribute whose changes can be watched.", r"
    on: {changed: contact.plan}
    on: {changed: contact.plan, from: free, to: pro}
    on: {changed: contact.employees, if: event.properties.to >= 200}

Only attributes are watched, as imports and steps set them. What a contact brings with it when it is new is no change.
";
    Ends = "E0221", "`ends` says which ends of the other workflow's runs count:", r"
    on: {workflow: trial-nurture}               # those that came to their end
    on: {workflow: trial-nurture, ends: any}    # those that failed, too
";
    Dedupe = "E0222", "`dedupe` says which events are one and the same, and for how long.", r"
    on: {event: order.paid, dedupe: {key: event.properties.order, within: 30d}}

An event starts nothing if the contact had one of the same name and key within that time before it.
";
    QuietHours = "E0230", "Quiet hours are not a part of the day.", r#"
While it is quiet where the contact lives, marketing mail of the workflow waits. The hours may go over midnight:

    settings: {quiet_hours: "20:00-08:00"}
"#;
    Priority = "E0231", "A workflow's priority is not a whole number from 1 to 100.", r"
Where several workflows want to mail a contact and a cap leaves room for fewer, the one with the larger priority goes first, and of equal ones the contact's older run. Without one the priority is 10.

    settings: {priority: 50}
";
    OnError = "E0232", "`on_error` is not one of `retry`, `skip` and `stop`.", r"
What becomes of a run whose step failed:

    on_error: retry      # what may pass is tried again, then the run has failed; holds without it
    on_error: skip       # what may pass is tried again, then the step is skipped
    on_error: stop       # the run has failed at once
";
    Retry = "E0233", "`retry` does not say how often, or after which pause.", r"
`times` is how often a step that failed is tried again, `pause` how long after the first try; each further pause is four times as long, up to a day:

    retry: {times: 5, pause: 10m}
";
    Goal = "E0234", "`goals` or `exits` name neither an event nor a condition.", r"
What ends a run wherever it stands, as *won* (`goals`) or simply (`exits`):

    goals:
      - event: subscription.paid
      - {event: order.placed, if: event.properties.total >= 100}
      - if: contact.scores.fit >= 100
    exits: {event: contact.bounced}
";
    AfterPause = "E0235", "`after_pause` is not one of `catch_up`, `spread` and `skip`.", r"
What becomes of steps that fell due while the workflow was paused (`dripline workflows pause`):

    settings: {after_pause: catch_up}    # all is done at once; holds without it
    settings: {after_pause: spread}      # it is put off by as long as the pause was
    settings: {after_pause: skip}        # they are skipped, and the runs go on below
";
    Date = "E0240", "A trigger by a date of the contact cannot be read.", r#"
    on: {date: contact.renewal_date, before: 30d, at: "09:00"}
    on: {date: contact.signed_up, after: 1y, at: "09:00"}
    on: {date: contact.birthday, every: year, at: "09:00"}

`date` is an expression that gives a date (`2026-12-24`) or a point in time. The clock is the contact's. A date that lies in the past when the contact comes to have it starts nothing.
"#;
    Debounce = "E0241", "`debounce` says for how long none of the kind must follow.", r"
    on: {event: cart.updated, debounce: 30m}
    on: {event: cart.updated, debounce: {quiet: 30m, at_most: 1d}}

The run starts by the last of the events, when none has followed for so long, or when the first of them is as old as `at_most`, which is ten times `quiet` without it.
";
    Concurrency = "E0242", "`concurrency` says what becomes of an event of a contact that is in the workflow:", r"
    enroll: {concurrency: one}                       # it starts nothing; holds without it
    enroll: {again: always, concurrency: queue}      # it waits until the run before has ended
    enroll: {again: always, concurrency: parallel}   # it starts a run beside the other
";
    NeedsAgain = "E0243", "`concurrency` has no effect, because nobody enters the workflow twice.", r"
Without `again`, a contact enters once in a lifetime, so that no second event can start anything.

    enroll: {again: always, concurrency: queue}
";
    NoSteps = "E0301", "A list of steps is empty.", r"
Add a step, or remove the key. A branch may have only `then` or only `else`.
";
    TooManySteps = "E0302", "The workflow has more than 1,000 steps, those inside branches included.", r"
Split it: the last step of one workflow can put the contact in a segment that starts the next.
";
    NoVerb = "E0303", "A step does not say what it does.", r"
Every step has one verb: the name of a plugin, or `goto` or `exit`. A step with `if` and without a verb is a branch and needs `then` or `else`.

    - wait: 3d
    - if: contact.scores.fit > 30
      then:
        - assign: {team: enterprise}
";
    TwoVerbs = "E0304", "A step has two verbs.", r"
Each step does one thing; write two steps:

    - email: {template: trial/welcome, subject: Welcome}
    - wait: 3d
";
    UnknownPlugin = "E0305", "A step names a plugin that is not installed.", r"
`dripline plugin list` shows what is installed, `dripline plugin add FILE` installs a plugin.
";
    Id = "E0306", "A step's `id` is not made of small letters, digits, `-` and `_`.", r"
The id is for `goto` and for reports; words for people go in `name`.
";
    DuplicateId = "E0307", "Two steps have the same id.", r"
A step without `id` has one made of its place: `step-1`, `step-3.then-1`.
";
    GotoNowhere = "E0308", "A `goto` names a step that does not exist.", r"
    - id: remind
      email: {template: trial/nudge, subject: Still there?}
    - wait: 7d
    - goto: remind
";
    NoCondition = "E0309", "A step has `then` or `else`, but no `if` to decide between them.", "";
    BranchWithVerb = "E0310", "A step with `then` or `else` also does something itself.", r#"
Without `then` and `else`, `if` decides whether the step is done at all. A branch does nothing itself: move what is to be done inside, or into a step of its own.

    - if: contact.country == "DE"
      then:
        - email: {template: de/welcome, subject: Willkommen}
"#;
    Paths = "E0311", "`paths` names an output that the step does not have.", r"
Only plugins with named outputs take `paths`; `segment: {check: …}` has `member` and `not_member`:

    - segment: {check: hot-leads}
      paths:
        member:
          - assign: {team: enterprise}
";
    Loop = "E0312", "A loop has no step that waits, so a run would go round it without end.", r"
Put a step between that waits, or leave the loop with `exit`.
";
    UnknownStepKey = "E0313", "A step has a key that means nothing there.", r"
Beside its verb a step may have `id`, `name` and `if`; a plugin also `expires`, `on_error` and `retry`; a branch `then` and `else`; a plugin with named outputs `paths`.
";
    StepRule = "E0340", "A step that only says where the run goes has `expires`, `on_error` or `retry`.", r"
These say how late a step may be done, and what becomes of it when it fails. They go with a plugin's step:

    - email: {template: trial/welcome, subject: Welcome}
      expires: 2d
      on_error: skip
      retry: {times: 5, pause: 10m}
";
    Switch = "E0341", "A `switch` has no `cases`, or `cases` and `default` stand where there is no `switch`.", r#"
A `switch` takes the case that is the value of an expression, and `default` for every other:

    - switch: contact.country
      cases:
        DE:
          - email: {template: trial/welcome, subject: Willkommen}
        AT:
          - email: {template: trial/welcome, subject: Servus}
      default:
        - email: {template: trial/welcome, subject: Welcome}
"#;
    Split = "E0342", "The arms of a `split` cannot be read.", r"
A `split` sends contacts several ways by chance, in proportion to the weights, and each contact always the same way. `paths` says
what happens on each; an arm that is not there goes on with the step below:

    - id: offer
      split: {discount: 20, nothing: 80}
      paths:
        discount:
          - email: {template: trial/nudge, subject: A present}
";
    Experiment = "E0350", "An `experiment` cannot be read.", r"
An `experiment` sends contacts several ways by chance, as `split` does, and counts what becomes of them. `goal` says by what
the ways are compared, `paths` what happens on each; `hold_out` is how many of a hundred contacts go on below without any of
them:

    - id: subject-line
      experiment:
        arms: {short: 1, long: 1}
        hold_out: 10
        goal: {event: email.clicked, within: 3d}
        significance: 0.95
      paths:
        short:
          - email: {template: trial/nudge, subject: Still there?}
        long:
          - email: {template: trial/nudge, subject: Are you still looking for a better way?}
";
    ExperimentGoal = "E0351", "The goal of an experiment names neither an event nor a condition, or no time.", r"
    goal: {event: email.clicked, within: 3d}
    goal: {event: order.paid, if: event.properties.amount >= 100, within: 14d}
    goal: {if: contact.scores.intent >= 30, within: 30d}

`within` counts from when the contact comes to the step. When it is over for a contact, that contact is compared with others.
";
    ExperimentEnd = "E0352", "What decides an experiment cannot be read.", r"
An experiment is decided by a test, by a date, by both (whichever comes first), or by `dripline experiments decide` alone:

    significance: 0.95       # as soon as it is this sure that one arm is better than all others
    minimum: 500             # but not before this many contacts of each arm were counted; goes with `significance`
    until: 2026-12-31        # from then on the best arm has won
";
    ExperimentId = "E0353", "An experiment has no `id`.", r"
Its counts belong to that name, in every version of the workflow. A name that is made of the step's place would be another as
soon as a step is put in above.

    - id: subject-line
      experiment: …
";
    Parallel = "E0360", "A `parallel` cannot be read.", r"
A run goes all paths of a `parallel` at once, and on with the step below when they have joined: `all` of them (without it too),
or `any`, and then the others are ended.

    - parallel:
        mails:
          - email: {template: trial/welcome, subject: Welcome}
          - wait: 3d
        sales:
          - assign: {team: enterprise}
      join: all
";
    JumpOverPaths = "E0361", "A `goto` leads out of a path of a `parallel`, or into one.", r"
The run waits for its paths to come to their end, so no path goes on elsewhere. Within a path a `goto` may lead anywhere, and
from outside to the `parallel` itself. `exit` in a path ends the whole run.
";
    Inputs = "E0370", "The inputs of a workflow cannot be read.", r#"
With what other workflows call it: a name, and what it is (`text`, `integer`, `number` or `boolean`). An input without a
default has to be given. Conditions and texts see `input.NAME`:

    name: nurture-short
    on: called
    inputs: {product: text, level: {type: text, default: silver}}
    steps:
      - email: {template: trial/nudge, subject: "About {{input.product}}"}
"#;
    Run = "E0371", "A `run` does not say which workflow, or how.", r#"
`run` starts a run of another workflow for the contact and goes on when that has ended (`wait: true`, without it too). `then` is
taken when it came to its end or reached a goal, `else` when it failed, was ended, or never began; `paths` names each:

    - run: {workflow: nurture-short, with: {product: contact.plan, level: '"gold"'}}
      then:
        - segment: {join: nurtured}
    - run: {workflow: nurture-short, with: {product: contact.plan}}
      paths:
        won: [{exit: bought}]
        refused: [{wait: 1d}]
    - run: {workflow: survey, wait: false}
"#;
    NoCalled = "E0372", "A step calls a workflow that no file defines.", r"
The name is the one under `name:` in the other workflow's file.
";
    CallInputs = "E0373", "A workflow is called with too little, with too much, or with something of another type.", r#"
What it takes stands under `inputs` in its file. The values are expressions: a text that is meant as it is written stands in
quotation marks inside of quotes.

    - run: {workflow: nurture-short, with: {product: contact.plan, level: '"gold"'}}
"#;
    CallCircle = "E0374", "A workflow calls itself, at once or by way of others.", r"
Each run would start another. To do something again within one workflow, use `goto` with a step that waits.
";
    UnknownInput = "E0375", "A text names an input that the workflow does not have.", r#"
`input.NAME` is what the workflow is called with; it is declared at the top of its file:

    inputs: {product: text}
"#;
    WaitFor = "E0320", "A `wait_for` does not say what to wait for, or how long.", r"
It names an event, a condition, or an event with a condition that tells which ones count, and how long to wait. `then` is taken when it happens, `else` when it did not happen in time; a run without them goes on below.

    - wait_for: {event: email.clicked, within: 3d}
      then:
        - score: {name: intent, add: 10, because: clicked}
      else:
        - email: {template: trial/nudge, subject: Still there?}
    - wait_for: {event: order.paid, if: event.properties.amount >= 100, within: 14d}
    - wait_for: {if: contact.scores.fit >= 30, within: 30d}
";
    UnknownConfigKey = "E0401", "A plugin's configuration has a key that the plugin does not know.", "";
    MissingConfigKey = "E0402", "A plugin's configuration lacks a key that the plugin needs.", "";
    ConfigType = "E0403", "A value in a plugin's configuration is of another type than the plugin needs.", "";
    ConfigValue = "E0404", "A value in a plugin's configuration is not one that the plugin allows.", "";
    ConfigForm = "E0405", "A value in a plugin's configuration has none, or more than one, of the forms that it can have.", "";
    PluginCheck = "E0406", "The plugin itself says that its configuration makes no sense.", r"
The configuration fits the plugin's schema; the plugin looked at it and found something that a schema cannot say.
";
    NotGranted = "E0407", "A plugin needs to read fields or cause effects that the operator has not granted.", r"
A plugin can only do what was granted to it. `dripline plugin list` shows what each asks for and has; `dripline plugin add FILE --grant all` grants all that it asks for.
";
    PluginSchema = "E0408", "A plugin's description of its configuration is broken or newer than this Dripline.", r"
This is no mistake in the workflow. Use another version of the plugin, or of Dripline.
";
    NoTeam = "E0409", "A team does not exist.", r"
Teams are written in teams.yaml; a workflow names a team by its `key`.
";
    NoTemplate = "E0410", "An email template does not exist.", r"
The template `trial/welcome` is the file templates/trial/welcome.html, or templates/trial/welcome.txt, or both. Workflows name it without the ending.
";
    NoCalendar = "E0430", "There is no calendar of holidays of this name.", r#"
A calendar is that of a country, that of the country in which each contact lives, or one of your own:

    - wait: {between: "09:00-17:00", days: mon-fri, holidays: DE}
    - wait: {between: "09:00-17:00", days: mon-fri, holidays: contact}
    - wait: {between: "09:00-17:00", days: mon-fri, holidays: "contact, office"}    # `office` stands in holidays.yaml
"#;
    Calendar = "E0431", "A calendar in `holidays.yaml` cannot be read.", r"
    calendars:
      office:
        countries: [DE]           # the public holidays of these countries
        days: [2026-12-28]        # and these days
        yearly: [12-24, 12-31]    # and these of each year
        except: [2026-10-31]      # but not these
";
    Expression = "E0501", "A CEL expression cannot be read, or cannot be right.", r#"
Expressions see `contact` (every attribute by name, and `email`, `scores.NAME`, `tags`, `consent.TOPIC`, `segments`, `owner`, …) and `now`; `enroll.if` also sees `event`.

    if: contact.country in ["DE", "AT"] && contact.scores.fit >= 30
"#;
    UnknownName = "E0510", "An expression names something that there is not.", r#"
Mostly a spelling mistake; the help names what is most like it. Expressions see `contact`, `now`, and in `enroll.if` also `event`. Where fields.yaml says which attributes contacts have, others have to be declared there first:

    fields:
      country: {type: text, description: two letters}
"#;
    Types = "E0511", "An expression puts together values whose types never meet.", r#"
A number never equals a text, and no text comes before a time. What type an attribute has stands in fields.yaml; without it, it is the type of all values that contacts have so far.

    if: contact.employees >= 200                      # not "200"
    if: timestamp(contact.renewal_date) < now         # a date is text until it is made a timestamp
"#;
    FieldValue = "E0512", "An expression asks for a value that a field never has.", r#"
fields.yaml lists the values that the field may have:

    fields:
      plan: {type: text, values: [free, pro]}
"#;
    Function = "E0513", "An expression calls a function that there is not, or calls it otherwise than it is meant.", r#"
    if: contact.title.startsWith("VP")
    if: contact.title.lowerAscii().contains("head")
    if: contact.tags.exists(tag, tag.startsWith("eu-"))
"#;
    NoTopic = "E0514", "A topic of consent is not declared.", r"
fields.yaml says to which topics contacts may consent; nobody can have consented to another.

    topics: [newsletter, product-news]
";
    TemplateField = "E0520", "A template names a field that contacts do not have.", r#"
The place is in the template's own file, or in the workflow for a subject. The help names the attribute that is most like it. Nobody could be sent the mail, because a missing value is never passed over in silence.

    {{contact.first_name}}
    {{default contact.first_name "there"}}
"#;
    Template = "E0601", "A Handlebars text in the workflow cannot be read.", r#"
Subjects see `contact`:

    subject: Welcome, {{default contact.first_name "there"}}
"#;
    TemplateFile = "E0602", "An email template has an error.", r"
The place is in the template's own file. Templates see `contact`, `message`, `sender` and `unsubscribe_url`; other files are included by their path with ending: `{{> layout.html}}`.
";
    NoRepresentative = "E0701", "A team has a member who is not among the representatives.", r"
    representatives:
      - {key: ada, name: Ada, email: ada@dripline.example}
    teams:
      - {key: enterprise, name: Enterprise, members: [{rep: ada}]}
";
    DuplicateTeamKey = "E0702", "Two representatives, two teams, or two members of a team have the same key.", "";
    Weight = "E0703", "A member's weight is not a whole number from 0 to 1,000,000.", r"
A member of weight 2 receives twice as many leads as one of weight 1, which is what holds without `weight`; 0 receives none.
";
    SegmentMembers = "E0801", "A segment does not say who is in it, or says so twice.", r#"
A segment has a rule, or steps put members in:

    name: hot-leads
    if: contact.scores.fit >= 30 && events("visit.pricing_page").last("30d").count() >= 3

    name: beta-testers
    static: true
"#;
    SegmentCircle = "E0802", "Who is in a segment depends, by way of others, on who is in it.", r"
A rule may ask for other segments, but none of them may lead back to it. Leave one of them out of the other's rule, or put what both share into a third.
";
    SegmentTwin = "E0803", "Two files define a segment of the same name.", r"
The second would undo the first. Give one of them another `name`.
";
    SegmentIsDynamic = "E0804", "A step puts contacts into a segment that has a rule, or takes them out.", r"
Its rule alone decides who is in it. Set what the rule looks at (a tag, a score), or use another segment:

    - segment: {join: called}       # segments/called.yaml: `name: called`, `static: true`
";
    NoScore = "E0850", "A condition or a text names a score that is not declared.", r"
Where there is a scores.yaml, it has all the scores. Mostly a spelling mistake; a new one is declared there:

    scores:
      fit: {max: 100}
      visits:                     # nothing more to say of it
";
    PointsForNoScore = "E0851", "A step gives points to a score that is not declared.", r"
Where there is a scores.yaml, it has all the scores. Mostly a spelling mistake; a new one is declared there:

    scores:
      fit: {max: 100}
      visits:                     # nothing more to say of it
";
    NoGrade = "E0852", "A score has no grades, or not this one.", r#"
    scores:
      intent: {grades: {hot: 60, warm: 30, cold: 0}}

Then `contact.grades.intent` is "hot" from 60 points on, "warm" from 30 on, and "cold" from 0 on.
"#;
    ScoreName = "E0853", "A score is called as no score can be called.", r"
Conditions say contact.scores.NAME, so a name is made of letters (a to z), digits and `_`, does not begin with a digit, and
is no word of CEL (`in`, `for`, `true`, …).
";
    ScoreBounds = "E0854", "A score's `min` is above its `max`.", r"
    fit: {min: 0, max: 100}
";
    ScoreDecay = "E0855", "It cannot be understood how the points of a score fade.", r"
    intent: {decay: {half_life: 14d}}      # half of the points are left after 14 days, a quarter after 28
    engagement: {decay: {linear: 30d}}     # they become less evenly, and after 30 days nothing is left
    trial: {expires: 90d}                  # each point counts in full for 90 days, and then is gone

A day has 24 hours here. `expires` may stand beside `half_life`.
";
    Grades = "E0856", "The grades of a score do not fit together.", r"
Each has its lowest value, the highest grade first; it goes up to the one before:

    fit: {max: 100, grades: {A: 80, B: 60, C: 40, D: 0}}
";
    NoSuchSegment = "W0801", "A segment's rule asks for a segment that no file defines.", r"
Steps may fill it all the same. A file says so, and the warning is gone:

    name: called
    static: true
";
    FieldKind = "E0710", "A field's type is none that there is.", r"
    fields:
      title: {type: text}
      employees: {type: integer}           # whole numbers
      revenue: {type: number}              # whole or not
      active: {type: boolean}
      renewal: {type: date}                # 2024-01-31
      last_seen: {type: timestamp}         # 2024-01-31T09:30:00Z
      country: text                        # short for {type: text}
";
    FieldName = "E0711", "A field's name cannot be the name of an attribute.", r"
Letters, digits and `_`, and no digit at the beginning, so that expressions can say contact.NAME. Names that contacts have anyway (`email`, `tags`, `scores`, …) and words of CEL (`in`, `true`, …) are taken.
";
    FieldValues = "E0712", "The values of a field cannot be these.", r"
Only a text can be limited to a list of values, and each value is a text that stands there once:

    fields:
      plan: {type: text, values: [free, pro]}
";
    TopicName = "E0713", "A topic's name cannot be used.", r"
Letters, digits and `_`, so that expressions can say contact.consent.TOPIC. `email` is the channel as a whole and needs no declaration.

    topics:
      newsletter: once a month
      product_news: what is new
";
    Settings = "E0720", "A setting has a value that cannot be.", r"
docs/operating.md says what each setting of dripline.yaml may be; `dripline schema settings` prints the same for editors and programs.
";
    Samples = "E0721", "The sample contacts cannot be read.", r"
samples.yaml is a list of contacts to render templates for, each with what a contact has:

    - email: ada@dripline.example
      attributes: {first_name: Ada, country: DE}
      consents: {email: true}
";
    Twins = "E0722", "Two files define the same workflow.", r"
Each would undo the other whenever they are published. Give one of them another `name`.
";
    AlwaysCapped = "W0730", "A mail is always skipped, because a cap holds it back for longer than it may be late.", r"
`caps` in dripline.yaml says how many mails a contact gets at most within a time. Where the workflow's own mails before this one
fill the cap, it waits until there is room; past its `expires` it is skipped. With `{at_most: 1, in: 7d}`:

    - email: {template: trial/welcome, subject: Welcome}
    - wait: 1d
    - email: {template: trial/nudge, subject: Still there?}
      expires: 2d                                               # never: there is room six days later

Wait longer before it, let it come later, or leave one of the mails out.
";
    QuietWindow = "W0731", "A wait ends in the quiet hours, although a mail follows.", r#"
The mail then waits for the end of the quiet hours, so that the wait means nothing:

    settings: {quiet_hours: "20:00-08:00"}
    steps:
      - wait: {between: "21:00-23:00"}
      - email: {template: trial/nudge, subject: Still there?}    # goes out at 08:00
"#;
    LastWait = "W0732", "A wait is the last step of a workflow with goals or exits.", r"
A run whose last step is a wait ends at once, because nothing comes behind it. So no goal is reached meanwhile. Put a step behind
the wait:

    - wait: 14d
    - exit: not won
";
    NotAField = "E0920", "A contact of a test or a sample has an attribute that fields.yaml does not declare.", r"
Where fields.yaml says which attributes contacts have, contacts of tests and samples have no others. Mostly a spelling mistake;
else declare it:

    fields:
      plan: {type: text, values: [free, pro]}
";
    NotItsType = "E0921", "A contact of a test or a sample has a value that its field never has.", r#"
fields.yaml says of which type the values of a field are, and for some which values there are:

    fields:
      employees: {type: integer}

    contacts:
      mia: {employees: 450}        # not "450"
"#;
    SampleKey = "E0922", "A sample contact has a key that means nothing there.", r"
What is known of a person stands under `attributes`:

    - email: ada@dripline.example
      attributes: {first_name: Ada, country: DE}
      consents: {email: true}
      tags: [vip]
      scores: {fit: 20}
";
    Chance = "E0901", "A chance is not a percentage from 0% to 100%.", r"
    click: 20%
    click: {chance: 20%, after: 1m..3h}
";
    Delay = "E0902", "A delay cannot be read.", r"
A duration of fixed length (`2h`, `3d`; a day has 24 hours here), or two of them, the shorter one first:

    open: {chance: 40%, after: 5m..2d}
";
    Idle = "E0903", "A rule of a behaviour does nothing.", r"
A rule about mails says at least one of `open`, `click`, `reply`, `unsubscribe` and `events`:

    mails:
      - {template: trial/welcome, open: 60%, click: 20%}
";
    NoWorkflow = "E0904", "A workflow does not exist.", r"
The name is the one under `name:` in the workflow's file.
";
    Moment = "E0905", "A time in a test cannot be read.", r"
Write a date and time where the test is (its `time_zone`, else the workspace's), an instant with its offset, or how long after the start of the test:

    at: 2024-03-04T09:00
    at: 2024-03-04T09:00+01:00
    at: 2d
";
    NoContact = "E0906", "A test names a contact that it does not have.", r"
Contacts stand under `contacts:`, of the test or of the whole file, each under a name of its own:

    contacts:
      mia: {email: mia@harbour.example, country: DE, consent: {email: true}}
";
    NoStep = "E0907", "A test names a step that its workflow does not have.", r"
Steps are named by their `id`; one without an `id` is called after its place: `step-2`, `step-3.then-1`. Where a test is of several workflows, `WORKFLOW/STEP` says which is meant.
";
    NothingExpected = "E0908", "A test expects nothing, so that it could not fail.", r"
    expect:
      mia:
        mails: [trial/welcome]
        end: completed
";
    Comparison = "E0909", "What a score shall be cannot be read.", r#"
    scores: {fit: 30, intent: ">= 20"}
"#;
    End = "E0910", "How a run shall end cannot be read.", r"
One of the words `completed`, `won`, `active`, `failed` and `cancelled`, the reason of an `exit`, or both and the step where it stands:

    end: completed
    end: handed to sales
    end: {status: completed, reason: handed to sales, step: step-4.then-2}
";
    NoSuchRepresentative = "E0911", "A representative does not exist.", r"
Representatives are written in teams.yaml; a test names one by its `key`.
";
    GivenContact = "E0912", "A contact of a test cannot be as it is written.", r"
A contact has attributes by their names, and beside them:

    mia:
      email: mia@harbour.example
      external_id: c-001            # without it the name that the contact has in the test
      consent: {email: true}
      tags: [vip]
      scores: {fit: 20}
      segments: [in-nurture]
      owner: ada
      created_at: 2024-01-31T09:30
";
    DuplicateTest = "E0913", "Two tests of a file have the same name.", "";
    TestContradiction = "E0914", "A test expects what cannot both be.", r"
For example a mail and `no_mails: true` for the same contact, or a step under `steps` as well as under `never`.
";
    OnPublish = "E1001", "`on_publish` is not one of `pin`, `migrate` and `drain`.", r"
What becomes of contacts that are on their way when a new version of the workflow is published:

    settings: {on_publish: pin}        # they stay on their versions; holds without it
    settings: {on_publish: migrate}    # they move to the new version, by the ids of the steps
    settings: {on_publish: drain}      # they leave: their runs end

An option of `dripline publish` decides otherwise for once.
";
    Unreachable = "W0301", "No run reaches a step.", r"
Every way above it ends in `exit` or jumps elsewhere with `goto`.
";
    NeverEnds = "W0302", "A run that comes here never ends.", r"
Every way from the step leads back to it, so that its runs go on for ever. Where that is not meant, leave the loop by a condition:

    - if: contact.scores.intent >= 10
      exit: showed interest
    - goto: remind
";
    NoSuchAttribute = "W0501", "An expression names an attribute that no contact has yet.", r"
The next import may bring it, so this is no error; a name that is nearly that of a known attribute is one. For a contact
without the attribute the expression is no match: a rule gives nothing, a branch takes `else`. Where that is what you want,
say so with `has(contact.title)`.
";
    LearntType = "W0511", "An expression does not fit the type that an attribute has had so far.", r"
All values that were imported or set until now are of another type, so the expression holds for nobody. A later import may
bring others, so this is no error; where fields.yaml declares the type it is one.
";
    Contradiction = "W0512", "A condition can never hold, because parts of it contradict each other.", r#"
    if: contact.plan == "free" && contact.plan == "pro"      # never
    if: contact.plan in ["free", "pro"]                      # one or the other
"#;
    NoSegment = "W0513", "Nothing puts contacts into a segment.", r"
No workflow of this workspace has a step that lets contacts join it, and there is no definition of it. Mostly a spelling
mistake: whoever waits for it waits for ever.
";
    TemplateAttribute = "W0520", "A template names an attribute that no contact has yet.", r#"
The next import may bring it, so this is no error. Until then the mail cannot be written for anybody, unless the template
says what to do without: `{{default contact.first_name "there"}}`, or `{{#if contact.first_name}}…{{/if}}`.
"#;
    SampleFails = "W0521", "A template cannot be rendered for a sample contact.", r#"
The samples are those of samples.yaml, else the first contacts of the store that enter the workflow and come to the step, as
far as conditions on their attributes and consents tell. A contact for which a mail cannot be written gets none, and the turn
fails with the reason. Write `{{default contact.first_name "there"}}`, or `{{#if …}}`, or let only those in who have it:

    enroll: {if: has(contact.first_name)}
"#;
    PastDate = "W0522", "A step waits for a date that has passed.", r"
Whoever comes there waits for nothing, and goes on at once.
";
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The page of the code that is printed as `code`, in any case.
pub fn explain(code: &str) -> Option<&'static str> {
    codes().find(|known| known.as_str().eq_ignore_ascii_case(code.trim())).map(Code::explanation)
}

/// All codes, in their order.
pub fn codes() -> impl Iterator<Item = Code> {
    Code::ALL.iter().copied()
}
