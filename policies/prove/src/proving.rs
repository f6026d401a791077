//! The questions, put to the solver: for each request environment, as formulas over every request there can be.

use std::cell::OnceCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cedar_policy::{
    AuthorizationError, Authorizer, Entities, Policy, PolicyId, PolicySet, Request, RequestEnv,
};
use cedar_policy_symcc::solver::LocalSolver;
use cedar_policy_symcc::{
    CedarSymCompiler, CompiledPolicy, CompiledPolicySet, Env, WellFormedAsserts, always_denies_asserts, err,
    implies_asserts, never_errors_asserts, never_matches_asserts,
};

use crate::counterexample;
use crate::document::{Answer, Finding, Question, Reason, Unproved, Verdict};
use crate::solver::Solver;
use crate::subject::{Invariant, Set, Subject, allows};

/// How to go about it.
#[derive(Debug)]
pub(crate) struct Effort {
    /// Longest time for one question in one environment.
    pub(crate) timeout: Duration,
    /// How many environments at a time.
    pub(crate) jobs: usize,
}

/// Asks everything, and answers in the order: errors of policies, invariants, what is new.
pub(crate) fn prove(
    subject: &Subject,
    solver: Result<&Solver, &str>,
    effort: &Effort,
) -> std::io::Result<Vec<Answer>> {
    let mut environments: Vec<RequestEnv> = subject.schema.request_envs().collect();
    environments
        .sort_by_key(|environment| (environment.action().to_string(), environment.resource().to_string()));
    let questions = questions(subject);
    let next = AtomicUsize::new(0);
    let work = || -> std::io::Result<Vec<(usize, usize, Finding)>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut prover = Prover { subject, solver, timeout: effort.timeout, compiler: None };
        let mut found = Vec::new();
        while let Some((place, environment)) = take(&next, &environments) {
            let findings = runtime.block_on(prover.environment(&questions, environment));
            found.extend(findings.into_iter().map(|(question, finding)| (question, place, finding)));
        }
        // Solver processes are reaped by the runtime they were started on.
        runtime.block_on(async { drop(prover) });
        Ok(found)
    };
    let done: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..effort.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let mut found = Vec::new();
    for worker in done {
        found.extend(worker.map_err(|_| std::io::Error::other("a thread that proves panicked"))??);
    }
    found.sort_by_key(|(question, place, _)| (*question, *place));
    let mut answers: Vec<Answer> = questions.iter().map(Asked::answer).collect();
    for (question, _, finding) in found {
        if let Some(answer) = answers.get_mut(question) {
            answer.verdict = answer.verdict.max(finding.verdict);
            answer.findings.push(finding);
        }
    }
    Ok(answers)
}

fn take<'a>(next: &AtomicUsize, environments: &'a [RequestEnv]) -> Option<(usize, &'a RequestEnv)> {
    let place = next.fetch_add(1, Ordering::Relaxed);
    environments.get(place).map(|environment| (place, environment))
}

/// A question, and what it is asked of.
enum Asked<'a> {
    NeverErrs { id: &'a PolicyId, file: &'a str, policy: &'a Policy },
    Invariant(&'a Invariant),
    NothingNew(&'a Set),
}

fn questions(subject: &Subject) -> Vec<Asked<'_>> {
    let policies = subject.policies.files.iter().filter_map(|(id, file)| {
        let policy = subject.policies.policies.policy(id)?;
        Some(Asked::NeverErrs { id, file, policy })
    });
    let invariants = subject.invariants.iter().map(Asked::Invariant);
    policies.chain(invariants).chain(subject.old.iter().map(Asked::NothingNew)).collect()
}

impl Asked<'_> {
    fn answer(&self) -> Answer {
        let (question, id, file, about) = match self {
            Self::NeverErrs { id, file, .. } => (
                Question::NeverErrs,
                Some(id.to_string()),
                Some((*file).to_owned()),
                format!("`{id}` can always be evaluated"),
            ),
            Self::Invariant(invariant) => (
                Question::Invariant,
                Some(invariant.id.clone()),
                Some(invariant.file.clone()),
                invariant.about.clone(),
            ),
            Self::NothingNew(_) => (
                Question::NothingNew,
                None,
                None,
                "nothing is allowed that was not allowed before".to_owned(),
            ),
        };
        Answer { question, id, file, about, verdict: Verdict::Proved, findings: Vec::new() }
    }
}

/// What one thread works with.
struct Prover<'a> {
    subject: &'a Subject,
    solver: Result<&'a Solver, &'a str>,
    timeout: Duration,
    compiler: Option<CedarSymCompiler<LocalSolver>>,
}

/// What the solver, or its absence, says: nothing, or a request for which it does not hold.
type Said = Result<Option<Env>, Unproved>;

impl Prover<'_> {
    /// Every question that concerns this environment.
    async fn environment(
        &mut self,
        questions: &[Asked<'_>],
        environment: &RequestEnv,
    ) -> Vec<(usize, Finding)> {
        let set = Compiled::new(self.subject, environment);
        let mut findings = Vec::new();
        for (number, asked) in questions.iter().enumerate() {
            let start = Instant::now();
            let said = match asked {
                Asked::NeverErrs { policy, .. } => self.never_errs(policy, environment).await,
                Asked::Invariant(invariant) => self.invariant(invariant, &set, environment).await,
                Asked::NothingNew(old) => self.nothing_new(old, &set, environment).await,
            };
            // A question that does not arise here has no finding.
            let Some(said) = said else { continue };
            let (verdict, unproved, counterexample) = match said {
                Ok(None) => (Verdict::Proved, None, None),
                Err(unproved) => (Verdict::NotProved, Some(unproved), None),
                Ok(Some(model)) => match counterexample::of(self.subject, &model, &|request, entities| {
                    self.refutes(asked, request, entities)
                }) {
                    Ok(counterexample) => (Verdict::Refuted, None, Some(counterexample)),
                    Err(detail) => {
                        (Verdict::NotProved, Some(Unproved { reason: Reason::Unconfirmed, detail }), None)
                    }
                },
            };
            let milliseconds = start.elapsed().as_millis();
            let action: &str = environment.action().id().as_ref();
            findings.push((
                number,
                Finding {
                    principal: environment.principal().to_string(),
                    action: action.to_owned(),
                    resource: environment.resource().to_string(),
                    verdict,
                    unproved,
                    counterexample,
                    milliseconds,
                },
            ));
        }
        findings
    }

    /// Whether Cedar itself, given the request, finds that it does not hold.
    fn refutes(&self, asked: &Asked<'_>, request: &Request, entities: &Entities) -> bool {
        match asked {
            Asked::NeverErrs { id, .. } => {
                let response =
                    Authorizer::new().is_authorized(request, &self.subject.policies.policies, entities);
                response.diagnostics().errors().any(|error| {
                    let AuthorizationError::PolicyEvaluationError(error) = error;
                    error.policy_id() == *id
                })
            }
            Asked::Invariant(invariant) => {
                let kept = allows_alone(&invariant.kept, request, entities);
                self.subject.policies.allows(request, entities) && !kept
            }
            Asked::NothingNew(old) => {
                self.subject.policies.allows(request, entities) && !old.allows(request, entities)
            }
        }
    }

    async fn never_errs(&mut self, policy: &Policy, environment: &RequestEnv) -> Option<Said> {
        let compiled = match self.compile(policy, environment) {
            Ok(compiled) => compiled,
            Err(unproved) => return Some(Err(unproved)),
        };
        let asserts = never_errors_asserts(&compiled);
        if is_certain(&asserts) && is_certain(&never_matches_asserts(&compiled)) {
            return None;
        }
        Some(self.ask(&asserts).await)
    }

    async fn invariant(
        &mut self,
        invariant: &Invariant,
        set: &Compiled<'_>,
        environment: &RequestEnv,
    ) -> Option<Said> {
        let kept = match self.kept(invariant, environment).transpose()? {
            Ok(kept) => kept,
            Err(unproved) => return Some(Err(unproved)),
        };
        // What the forbids alone make sure of holds whatever is permitted, and is proved as fast for a thousand permits as for one.
        if let Ok(not_forbidden) = set.not_forbidden()
            && let Ok(None) = self.ask(&implies_asserts(not_forbidden, &kept)).await
        {
            return Some(Ok(None));
        }
        Some(match set.whole() {
            Ok(whole) => self.ask(&implies_asserts(whole, &kept)).await,
            Err(unproved) => Err(unproved.clone()),
        })
    }

    /// What an invariant leaves allowed, unless it matches nothing here.
    fn kept(
        &self,
        invariant: &Invariant,
        environment: &RequestEnv,
    ) -> Result<Option<CompiledPolicySet>, Unproved> {
        let matches = self.compile(&invariant.matches, environment)?;
        if is_certain(&never_errors_asserts(&matches)) && is_certain(&never_matches_asserts(&matches)) {
            return Ok(None);
        }
        Ok(Some(self.compile(&invariant.kept, environment)?.into_compiled_policyset()))
    }

    async fn nothing_new(&mut self, old: &Set, set: &Compiled<'_>, environment: &RequestEnv) -> Option<Said> {
        let new = match set.whole() {
            Ok(new) if is_certain(&always_denies_asserts(new)) => return None,
            Ok(new) => new,
            Err(unproved) => return Some(Err(unproved.clone())),
        };
        Some(match compile_set(&old.as_decided, environment, self.subject) {
            Ok(old) => self.ask(&implies_asserts(new, &old)).await,
            Err(unproved) => Err(unproved),
        })
    }

    fn compile(&self, policy: &Policy, environment: &RequestEnv) -> Result<CompiledPolicy, Unproved> {
        CompiledPolicy::compile(policy, environment, &self.subject.schema)
            .map_err(|error| unsupported(&error))
    }

    /// Asks the solver, which is started if it is not running. One that failed or took too long is not asked again.
    async fn ask(&mut self, asserts: &WellFormedAsserts<'_>) -> Said {
        let failed = |detail: String| Unproved { reason: Reason::SolverFailed, detail };
        let solver =
            self.solver.map_err(|detail| Unproved { reason: Reason::NoSolver, detail: detail.to_owned() })?;
        let mut compiler = match self.compiler.take() {
            Some(compiler) => compiler,
            None => CedarSymCompiler::new(solver.start().map_err(failed)?)
                .map_err(|error| failed(error.to_string()))?,
        };
        let said = match tokio::time::timeout(self.timeout, compiler.check_sat(asserts)).await {
            Err(_) => {
                let detail =
                    format!("{} did not answer within {} s", solver.name, self.timeout.as_secs_f32());
                return Err(Unproved { reason: Reason::Timeout, detail });
            }
            Ok(Err(err::Error::SolverUnknown)) => Err(failed(format!("{} does not know", solver.name))),
            Ok(Err(error @ err::Error::SolverError(_))) => return Err(failed(error.to_string())),
            Ok(Err(error)) => return Err(unsupported(&error)),
            Ok(Ok(model)) => Ok(model),
        };
        self.compiler = Some(compiler);
        said
    }
}

/// The policies as formulas, made when they are asked for.
struct Compiled<'a> {
    subject: &'a Subject,
    environment: &'a RequestEnv,
    whole: OnceCell<Result<CompiledPolicySet, Unproved>>,
    not_forbidden: OnceCell<Result<CompiledPolicySet, Unproved>>,
}

impl<'a> Compiled<'a> {
    fn new(subject: &'a Subject, environment: &'a RequestEnv) -> Self {
        Self { subject, environment, whole: OnceCell::new(), not_forbidden: OnceCell::new() }
    }

    /// What the gateway allows.
    fn whole(&self) -> Result<&CompiledPolicySet, &Unproved> {
        let Self { subject, environment, .. } = self;
        self.whole.get_or_init(|| compile_set(&subject.policies.as_decided, environment, subject)).as_ref()
    }

    /// What no forbid stops.
    fn not_forbidden(&self) -> Result<&CompiledPolicySet, &Unproved> {
        let Self { subject, environment, .. } = self;
        self.not_forbidden
            .get_or_init(|| compile_set(&subject.policies.not_forbidden, environment, subject))
            .as_ref()
    }
}

fn compile_set(
    policies: &PolicySet,
    environment: &RequestEnv,
    subject: &Subject,
) -> Result<CompiledPolicySet, Unproved> {
    CompiledPolicySet::compile(policies, environment, &subject.schema).map_err(|error| unsupported(&error))
}

/// Whether this holds by its very form, without a solver.
fn is_certain(asserts: &WellFormedAsserts<'_>) -> bool {
    asserts.asserts().iter().any(|term| *term == false.into())
}

fn allows_alone(policy: &Policy, request: &Request, entities: &Entities) -> bool {
    let alone = PolicySet::from_policies([policy.clone()]);
    alone.is_ok_and(|alone| allows(&alone, request, entities))
}

fn unsupported(error: &err::Error) -> Unproved {
    let detail = if let err::Error::PolicyNotWellTyped { errs } = error {
        let errors: Vec<String> = errs.iter().map(ToString::to_string).collect();
        errors.join("; ")
    } else {
        error.to_string()
    };
    Unproved { reason: Reason::Unsupported, detail }
}
