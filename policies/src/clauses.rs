//! A policy taken apart: its scope in three parts, and its conditions as a list of clauses that must all hold.

use cedar_policy::{
    ActionConstraint, EntityTypeName, EntityUid, Policy, PrincipalConstraint, ResourceConstraint,
};
use cedar_policy_core::ast::{Expr, ExprKind, Literal, UnaryOp};

/// What a scope asks of the principal or the resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Any,
    Eq(EntityUid),
    In(EntityUid),
    Is(EntityTypeName),
    IsIn(EntityTypeName, EntityUid),
}

impl Part {
    pub(crate) fn principal(policy: &Policy) -> Self {
        match policy.principal_constraint() {
            PrincipalConstraint::Any => Self::Any,
            PrincipalConstraint::Eq(uid) => Self::Eq(uid),
            PrincipalConstraint::In(uid) => Self::In(uid),
            PrincipalConstraint::Is(kind) => Self::Is(kind),
            PrincipalConstraint::IsIn(kind, uid) => Self::IsIn(kind, uid),
        }
    }

    pub(crate) fn resource(policy: &Policy) -> Self {
        match policy.resource_constraint() {
            ResourceConstraint::Any => Self::Any,
            ResourceConstraint::Eq(uid) => Self::Eq(uid),
            ResourceConstraint::In(uid) => Self::In(uid),
            ResourceConstraint::Is(kind) => Self::Is(kind),
            ResourceConstraint::IsIn(kind, uid) => Self::IsIn(kind, uid),
        }
    }

    /// As Cedar writes it, of `principal` or `resource`.
    pub(crate) fn text(&self, variable: &str) -> String {
        match self {
            Self::Any => variable.to_owned(),
            Self::Eq(uid) => format!("{variable} == {uid}"),
            Self::In(uid) => format!("{variable} in {uid}"),
            Self::Is(kind) => format!("{variable} is {kind}"),
            Self::IsIn(kind, uid) => format!("{variable} is {kind} in {uid}"),
        }
    }
}

/// The action part of a scope, as Cedar writes it.
pub(crate) fn action_text(action: &ActionConstraint) -> String {
    match action {
        ActionConstraint::Any => "action".to_owned(),
        ActionConstraint::Eq(uid) => format!("action == {uid}"),
        ActionConstraint::In(uids) => match uids.as_slice() {
            [uid] => format!("action in {uid}"),
            several => {
                let uids: Vec<String> = several.iter().map(ToString::to_string).collect();
                format!("action in [{}]", uids.join(", "))
            }
        },
    }
}

/// One thing that a policy's conditions ask for.
#[derive(Debug, Clone)]
pub(crate) struct Clause {
    pub(crate) expression: Expr,
    /// What is asked for is that it does not hold: a clause of `unless`, or behind a `!`.
    pub(crate) negated: bool,
}

impl Clause {
    /// As the author wrote it.
    pub(crate) fn text(&self) -> String {
        let written = self.expression.source_loc().and_then(cedar_policy_core::parser::Loc::snippet);
        // A comment would swallow the rest once the lines are put together.
        let text = match written.filter(|text| !text.contains("//")) {
            Some(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
            None => self.expression.to_string(),
        };
        if self.negated { format!("!({text})") } else { text }
    }

    /// Whether both ask for the same, however it is laid out.
    #[cfg(feature = "author")]
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.negated == other.negated && self.expression.eq_shape(&other.expression)
    }

    /// The line that it stands on, from 1.
    pub(crate) fn line(&self) -> Option<usize> {
        self.expression.source_loc().map(line)
    }
}

/// The line on which a place in a file begins, from 1.
pub(crate) fn line(place: &cedar_policy_core::parser::Loc) -> usize {
    place.src.get(..place.start()).unwrap_or_default().matches('\n').count() + 1
}

/// What the conditions of a policy ask for, in the order in which Cedar looks at it.
pub(crate) fn clauses(policy: &Policy) -> Vec<Clause> {
    let mut found = Vec::new();
    let inner: &cedar_policy_core::ast::Policy = policy.as_ref();
    if let Some(expression) = inner.non_scope_constraints() {
        split(expression, false, &mut found);
    }
    found
}

fn split(expression: &Expr, negated: bool, found: &mut Vec<Clause>) {
    match (expression.expr_kind(), negated) {
        (ExprKind::And { left, right }, false) | (ExprKind::Or { left, right }, true) => {
            split(left, negated, found);
            split(right, negated, found);
        }
        (ExprKind::UnaryApp { op: UnaryOp::Not, arg }, _) => split(arg, !negated, found),
        (ExprKind::Lit(Literal::Bool(holds)), _) if *holds != negated => {}
        _ => found.push(Clause { expression: expression.clone(), negated }),
    }
}
