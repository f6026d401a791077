//! Policies beside the facts: what holds, and which facts each clause saw.

use std::collections::HashMap;

use cedar_policy::{Entities, Policy};
use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, Request, Value, ValueKind};
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;

use super::{ClauseReading, Holds, Reading, Saw, effect};
use crate::clauses::{Clause, Part, action_text, clauses, line};
use crate::slice;

/// The facts of a request.
pub(super) struct Facts<'e> {
    evaluator: Evaluator<'e>,
}

/// Longest value that is shown.
const LONGEST: usize = 160;

impl<'e> Facts<'e> {
    pub(super) fn new(parts: slice::Request, entities: &'e Entities) -> Self {
        let request: Request = parts.into_core();
        Self { evaluator: Evaluator::new(request, entities.as_ref(), Extensions::all_available()) }
    }

    /// A policy beside the facts, and how much of it the request does not meet.
    pub(super) fn read(&self, policy: &Policy, file: &str) -> (usize, Reading) {
        let inner: &cedar_policy_core::ast::Policy = policy.as_ref();
        let mut scope_missed = Vec::new();
        let principal = (inner.principal_constraint().as_expr(), Part::principal(policy).text("principal"));
        let action = (inner.action_constraint().as_expr(), action_text(&policy.action_constraint()));
        let resource = (inner.resource_constraint().as_expr(), Part::resource(policy).text("resource"));
        for (expression, text) in [principal, action, resource] {
            if self.holds(&expression) != Some(true) {
                scope_missed.push(text);
            }
        }
        let mut reached = scope_missed.is_empty();
        let mut read = Vec::new();
        for clause in clauses(policy) {
            let holds = match self.holds(&clause.expression) {
                Some(holds) if holds != clause.negated => Holds::Yes,
                Some(_) => Holds::No,
                None if reached => Holds::Fails,
                None => Holds::NotReached,
            };
            reached &= holds == Holds::Yes;
            let saw = if holds == Holds::NotReached { Vec::new() } else { self.saw(&clause) };
            read.push(ClauseReading { text: clause.text(), line: clause.line(), holds, saw });
        }
        let misses = scope_missed.len()
            + read.iter().filter(|clause| matches!(clause.holds, Holds::No | Holds::Fails)).count();
        let reading = Reading {
            id: policy.id().to_string(),
            effect: effect(policy),
            file: file.to_owned(),
            line: inner.loc().map_or(1, line),
            scope_missed,
            clauses: read,
        };
        (misses, reading)
    }

    fn value(&self, expression: &Expr) -> Option<Value> {
        self.evaluator.interpret(expression, &HashMap::new()).ok()
    }

    fn holds(&self, expression: &Expr) -> Option<bool> {
        let value = self.value(expression)?.value;
        if let ValueKind::Lit(Literal::Bool(holds)) = value { Some(holds) } else { None }
    }

    fn saw(&self, clause: &Clause) -> Vec<Saw> {
        let mut saw = Vec::new();
        self.look(&clause.expression, &mut saw);
        saw
    }

    /// The facts that an expression looks at: attributes and tags, each whole.
    fn look(&self, expression: &Expr, saw: &mut Vec<Saw>) {
        match fact(expression) {
            Some(fact) => {
                let what = fact.to_string();
                if !saw.iter().any(|seen| seen.what == what) {
                    let value = self.value(&fact).map(|value| shortened(&value.to_string()));
                    saw.push(Saw { what, value });
                }
            }
            None => children(expression).into_iter().for_each(|child| self.look(child, saw)),
        }
    }
}

/// The attribute or tag that an expression takes, or asks for.
fn fact(expression: &Expr) -> Option<Expr> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other kind of expression takes no attribute")]
    match expression.expr_kind() {
        ExprKind::GetAttr { .. } | ExprKind::BinaryApp { op: BinaryOp::GetTag, .. } => {
            Some(expression.clone())
        }
        ExprKind::HasAttr { expr, attr } => Some(Expr::get_attr(expr.as_ref().clone(), attr.clone())),
        ExprKind::ExtHasAttr { expr, attrs } => {
            Some(attrs.iter().fold(expr.as_ref().clone(), |expr, attr| Expr::get_attr(expr, attr.clone())))
        }
        ExprKind::BinaryApp { op: BinaryOp::HasTag, arg1, arg2 } => {
            Some(Expr::get_tag(arg1.as_ref().clone(), arg2.as_ref().clone()))
        }
        _ => None,
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(LONGEST).collect();
    short.push('…');
    short
}

fn children(expression: &Expr) -> Vec<&Expr> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the rest are leaves, or facts and so looked at whole"
    )]
    match expression.expr_kind() {
        ExprKind::If { test_expr, then_expr, else_expr } => vec![test_expr, then_expr, else_expr],
        ExprKind::And { left, right } | ExprKind::Or { left, right } => vec![left, right],
        ExprKind::UnaryApp { arg, .. } => vec![arg],
        ExprKind::BinaryApp { arg1, arg2, .. } => vec![arg1, arg2],
        ExprKind::Like { expr, .. } | ExprKind::Is { expr, .. } => vec![expr],
        ExprKind::ExtensionFunctionApp { args, .. } => args.iter().collect(),
        ExprKind::Set(members) => members.iter().collect(),
        ExprKind::Record(fields) => fields.values().collect(),
        _ => Vec::new(),
    }
}
